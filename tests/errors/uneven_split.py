# expect: split: tile<f32, 4> into 3 along axis 0
# caret: 10:tile.split(tile.load(x, (0, 4)), 3, 0)
# hint: the parts must be equal
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.split(tile.load(x, (0, 4)), 3, 0)
