"""What of a result may leave a secure research room: see docs/release.md."""

from sos_plugins.release.decide import Release, release
from sos_plugins.release.profiles import PROFILES, Profile, ReleaseRules, rules_of
from sos_plugins.release.write import write_release

__all__ = ["PROFILES", "Profile", "Release", "ReleaseRules", "release", "rules_of", "write_release"]
