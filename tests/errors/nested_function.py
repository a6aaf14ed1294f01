# expect: FunctionDef is not part of the tile language
# caret: 9:def f(t):
# hint: a function of the module decorated with @tile_function


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    def f(t):
        return t
