# expect: &: integers and bool only, got f32
# caret: 10:tile.load(x, (0, 4)) & 1
# hint: tile.bitcast(x, tile.i32)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) & 1
