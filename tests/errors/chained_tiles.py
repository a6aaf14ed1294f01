# expect: a chained comparison is for scalars, got tile<bool, 4>
# caret: 11:0 < t < 1
# hint: (a < b) & (b < c)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
    u = 0 < t < 1
