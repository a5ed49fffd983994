"""`python -m depthscope.app` is the `depthscope` command."""

from .cli import main

if __name__ == "__main__":
    main()
