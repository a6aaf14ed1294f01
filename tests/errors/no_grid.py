# expect: tile.grid is never called
# caret: 8:kernel
# hint: i = tile.grid(1) runs one program
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    n = N + 1
