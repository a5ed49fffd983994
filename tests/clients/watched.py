"""The same training with `watch` in it."""

import sys
from functools import partial

from train import main

from depthscope.probes import watch

main(int(sys.argv[1]), partial(watch, store=sys.argv[2], run="watched", every=2))
