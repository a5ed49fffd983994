from sample_runs.recorded import *
