from app.shell import *
