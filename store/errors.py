"""Everything the store may raise at its users.

DepthscopeError            one line for the user: what was expected, what came, what to do
├── StoreMissing           there is no store at this path
├── NotAStore              the path is something else
├── StoreBusy              another process holds the database past the deadline
├── StoreTooNew            the store was written by a newer depthscope
├── SchemaTooOld           the store is older than this depthscope can bring up to date
├── NetworkFileSystem      a database or lock on a file system whose locks do not hold
├── RunNameTaken           the name belongs to another run and `resume=True` was not given
├── RunMissing             no run of that name
├── RunRunning             the run is being trained, so it cannot be renamed or removed
└── BundleInvalid          the folder is not an exported bundle
"""

__all__ = [
    "BundleInvalid",
    "DepthscopeError",
    "NetworkFileSystem",
    "NotAStore",
    "RunMissing",
    "RunNameTaken",
    "RunRunning",
    "SchemaTooOld",
    "StoreBusy",
    "StoreMissing",
    "StoreTooNew",
]


class DepthscopeError(ValueError):
    """Base of every error meant for the user; the command line prints it as one line and exits with 2."""


class StoreMissing(DepthscopeError):
    """There is no store at this path."""


class NotAStore(DepthscopeError):
    """The path exists and is not a store."""


class StoreBusy(DepthscopeError):
    """Another process holds the database; the message says which, where the system tells."""


class StoreTooNew(DepthscopeError):
    """The schema is newer than this version of depthscope reads."""


class SchemaTooOld(DepthscopeError):
    """The schema is older than this version of depthscope can migrate."""


class NetworkFileSystem(DepthscopeError):
    """A database or a lock was to be kept on a file system whose locks do not hold between machines."""


class RunNameTaken(DepthscopeError):
    """The run name is claimed and the caller did not ask to resume."""


class RunMissing(DepthscopeError):
    """No run of that name is in the store."""


class RunRunning(DepthscopeError):
    """Rows of the run may still come, so it cannot be renamed or removed."""


class BundleInvalid(DepthscopeError):
    """The folder is not a bundle written by `depthscope export`."""
