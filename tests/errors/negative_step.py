# expect: range: step must be positive, got -1
# caret: 10:tile.range(N, 0, -1)
# hint: count up, and compute the coordinate from the last: n - 1 - k
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(N, 0, -1):
        pass
