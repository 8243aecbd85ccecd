"""``python -m sos_plugins``."""

from sos_plugins.cli import main

if __name__ == "__main__":
    main(prog_name="sos-plugins")
