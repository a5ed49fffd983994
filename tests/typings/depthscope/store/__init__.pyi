from store import *
