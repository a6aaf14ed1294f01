# expect: a loop has one variable
# caret: 9:a, b
# hint:


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for a, b in tile.range(0, N):
        pass
