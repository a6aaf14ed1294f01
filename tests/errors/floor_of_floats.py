# expect: //: not defined for f32
# caret: 10:tile.load(x, (0, 4)) // 2
# hint: tile.round(x / y, "down")
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) // 2
