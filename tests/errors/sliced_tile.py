# expect: a tile is indexed only by None and ':'
# caret: 10:0:2
# hint: tile.split(x, n, axis), or load the part that is needed
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))[0:2]
