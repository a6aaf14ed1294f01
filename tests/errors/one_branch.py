# expect: 't' is bound in one branch of a run-time if and does not live after it
# caret: 12:t
# hint: bind it before, to a tile of the same type
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    if i > 0:
        t = tile.load(x, 0)
    tile.store(x, 0, t)
