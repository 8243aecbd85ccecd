# For those who have make; all of it is in ./dev.
.PHONY: setup demo test lint bench
setup demo test lint bench:
	./dev $@
