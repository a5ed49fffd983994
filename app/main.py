"""The one file that Streamlit executes. The store's path comes from the launcher in $DEPTHSCOPE_STORE."""

from depthscope.app.shell import shell

shell()
