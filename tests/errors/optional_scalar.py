# expect: annotation 'f32?': '?' stands where '[' or the end was expected
# caret: 8:?
# hint: f32, T[M, K], f32[N]?, u4[K, N] in u32[K/8, N]
# args: x=3.0


@tile_kernel
def kernel(x: "f32?"):
    i = tile.grid(1)
    pass
