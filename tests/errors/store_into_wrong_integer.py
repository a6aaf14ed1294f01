# expect: store: x holds u8: literal 300 does not fit u8
# caret: 10:tile.store(x, 0, 300)
# hint:
# args: x=u8(8)


@tile_kernel
def kernel(x: "u8[N]"):
    i = tile.grid(1)
    tile.store(x, 0, 300)
