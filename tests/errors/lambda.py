# expect: Lambda is not part of the tile language
# caret: 9:lambda t: t
# hint: a function decorated with @tile_function


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    f = lambda t: t
