# expect: grid: tile.grid is called twice
# caret: 10:tile.grid(2)
# hint: one grid to a kernel: i, j = tile.grid(n, m)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    j = tile.grid(2)
