# expect: *: a bool with tile<f32, 4>
# caret: 10:tile.load(x, (0, 4)) * True
# hint: a bool goes with bool tiles; write 0 or 1
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) * True
