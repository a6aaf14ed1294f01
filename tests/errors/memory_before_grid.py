# expect: load: memory is touched before tile.grid
# caret: 9:tile.load(x, 0)
# hint: i = tile.grid(..) comes first
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    t = tile.load(x, 0)
    i = tile.grid(1)
