# expect: the literal b'abc' is not part of the tile language
# caret: 9:b'abc'
# hint:


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = b'abc'
