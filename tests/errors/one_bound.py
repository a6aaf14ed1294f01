# expect: range: argument 'stop' is missing
# caret: 10:tile.range(N)
# hint: range(start, stop, step)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(N):
        pass
