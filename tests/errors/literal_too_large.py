# expect: +: literal 300 does not fit tile<u8, 4>
# caret: 10:tile.load(x, (0, 4)) + 300
# hint: 0 to 255
# args: x=u8(8)


@tile_kernel
def kernel(x: "u8[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) + 300
