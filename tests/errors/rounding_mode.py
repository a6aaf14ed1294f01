# expect: round: mode must be one of ['away', 'down', 'rne', 'rtz', 'up'], got 'floor'
# caret: 10:tile.round(tile.load(x, (0, 4)), "floor")
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.round(tile.load(x, (0, 4)), "floor")
