"""Gradient norm of a block's parameters, before clipping where torch's own clipping tells its factor."""

from ._metric import Metric, Of, ParameterGroup, Pool, Pooled

__all__ = ["METRIC"]


def param_grad_norm(group: ParameterGroup) -> Pooled:
    """sqrt(Σ_p ‖∂loss/∂p‖²) over the site's parameters; range [0, inf).

    Squares over block, embed, final_norm, head and other sum to the square of the total gradient norm.
    It is 0 where parameters ask for a gradient and none arrives; it is not measured where they do not ask (frozen) or
    no optimizer has them.
    """
    return group.grad_square.sqrt(), group.asking


METRIC = Metric(
    name="param_grad_norm",
    of=Of.PARAMETER,
    unit="loss/weight",
    title="Parameter gradient norm",
    formula="sqrt(Σ_{p in site} ‖∂L/∂p‖²)",
    source="Mix-LN, arXiv 2412.13795; On Layer Normalization in the Transformer Architecture, arXiv 2002.04745",
    pool=Pool.SUM,
    measure=param_grad_norm,
    reduction="as the optimizer sees it, undone by the factor of torch's clip_grad_norm_ where that was called",
)
