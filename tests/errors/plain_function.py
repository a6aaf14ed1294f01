# expect: 'square' is neither a constant nor a tile_function
# caret: 13:square
# hint: decorate it with @tile_function


def square(t):
    return t * t


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = square(tile.load(x, (0, 4)))
