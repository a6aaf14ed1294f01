# expect: annotation 'f32[N M]': 'M]' stands where '*' or '+' or ',' or '-' or '/' or ']' was expected
# caret: 8:M
# hint: f32, T[M, K], f32[N]?, u4[K, N] in u32[K/8, N]
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N M]"):
    i = tile.grid(1)
    pass
