# expect: annotation 'f32[N/2]': N is not bound by any parameter
# caret: 8:"f32[N/2]"
# hint: give some tensor the plain dimension N
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N/2]"):
    i = tile.grid(1)
    pass
