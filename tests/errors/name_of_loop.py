# expect: 't' is first bound in a loop and does not live after it
# caret: 12:t
# hint: bind it before, to a tile of the same type
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(0, 2):
        t = tile.load(x, k)
    tile.store(x, 0, t)
