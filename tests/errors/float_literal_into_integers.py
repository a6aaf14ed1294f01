# expect: store: y holds i32: 1.5 is not a value of i32
# caret: 10:tile.store(y, (0, 4), 1.5)
# hint:
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    tile.store(y, (0, 4), 1.5)
