# expect: tile<index> cannot be called
# caret: 10:i(3)
# hint: operations of tile and tile functions can
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = i(3)
