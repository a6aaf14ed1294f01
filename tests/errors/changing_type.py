# expect: loop: 't' enters as tile<f32, 4> and leaves as tile<bool, 4>
# caret: 12:t
# hint: cast it, so that the type stays
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
    for k in tile.range(0, 2):
        t = t > 0.0
