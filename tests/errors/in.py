# expect: 'in' is not part of the tile language
# caret: 9:i in (1, 2)
# hint: compare with == and |


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = i in (1, 2)
