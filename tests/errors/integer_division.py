# expect: /: not defined for index
# caret: 10:N / 2
# hint: // divides integers; tile.cast(x, tile.f32) first
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = N / 2
