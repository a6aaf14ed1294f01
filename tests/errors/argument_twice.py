# expect: load: 't' is given twice
# caret: 10:tile.load(x, 0, t=x)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, 0, t=x)
