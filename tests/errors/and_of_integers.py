# expect: 'and' joins bool scalars, got tile<index>
# caret: 10:i
# hint: compare it: x != 0
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = i and N
