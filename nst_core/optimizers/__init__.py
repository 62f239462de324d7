"""L-BFGS and Adam over a batch of pastiches, each with its own state, and the coordinates that they optimise.

    coordinates  maps between an image and the numbers that are optimised
    bands        groups of coordinates that share a scale
    lbfgs        L-BFGS with its own history, step length and step control per pastiche
    history      the last steps, and the inverse Hessian that they define
    adam         Adam
    protocol     the interface of both: `point` is evaluated next, `tell` receives the result

Optimizers are ask-and-tell: they never call the objective. The loop in `nst_core.optimize` evaluates `point` and passes
the values and gradients to `tell`.
"""
