# expect: return ends a tile_function, and stands nowhere else
# caret: 9:return t
# hint: an if around the rest of the body


@tile_function
def f(t):
    if t is None:
        return t
    return t
