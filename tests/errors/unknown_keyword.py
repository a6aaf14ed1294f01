# expect: load has no parameter 'mask'
# caret: 10:tile.load(x, (0, 4), mask=None)
# hint: load(t, at, pad)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4), mask=None)
