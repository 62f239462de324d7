"""L-BFGS and Adam over a batch of pastiches, every pastiche with its own state, and the coordinates they work in.

    coordinates  image <-> the numbers that are optimised
    bands        groups of coordinates that are scaled alike
    lbfgs        L-BFGS with its own history, step length and step control per pastiche
    history      the last steps, and the inverse Hessian that they make
    adam         Adam
    protocol     what both offer: `point` to evaluate, `tell` with what was found there

An optimizer never calls the objective: the one loop in `nst_core.optimize` evaluates `point` and tells.
"""
