# expect: while: the condition is a constant that holds after 4096 trips
# caret: 10:True
# hint: compare a run-time scalar
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    while True:
        pass
