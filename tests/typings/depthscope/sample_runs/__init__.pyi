from sample_runs import *
