# expect: annotation 'T': a scalar parameter has a dtype, not a dtype variable
# caret: 8:T
# hint: f32, or T[N]
# args: x=3.0


@tile_kernel
def kernel(x: "T"):
    i = tile.grid(1)
    pass
