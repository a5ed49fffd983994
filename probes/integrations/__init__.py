"""A callback for each trainer: `from depthscope.probes.integrations.huggingface import DepthscopeCallback`.

Nothing is imported here, because each needs a package that depthscope does not.
"""
