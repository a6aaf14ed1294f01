# expect: if: 't' is tile<bool, 4> in one branch and tile<f32, 4> in the other
# caret: 13:t
# hint: bind it before, to a tile of the same type
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
    if i > 0:
        t = t > 0
    tile.store(x, (0, 4), t)
