// Gaussians of a .spz, sorted by depth and blended back to front (3D Gaussian splatting, sec. 4 and 6).

const canvas = document.querySelector("canvas"), note = document.querySelector("p")
const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true })
const WIDTH = 3 * 1024 // texels in a row of the texture; a Gaussian takes 3: place and opacity, sizes, rotation
const BUCKETS = 65536 // of depth

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

function decode(bytes) { // version 3 of .spz
  const head = new DataView(bytes.buffer), count = head.getUint32(8, true), degree = bytes[12]
  const unit = 2 ** -bytes[13], harmonics = (degree + 1) ** 2 - 1
  let next = 16
  const column = (length) => bytes.subarray(next, (next += length * count))
  const places = column(9), alphas = column(1), colors = column(3), sizes = column(3), turns = column(4)
  const rest = column(3 * harmonics), rows = Math.ceil((3 * count) / WIDTH)
  const cloud = new Float32Array(4 * WIDTH * rows), means = new Float32Array(3 * count)
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < 3; k++) {
      const j = 3 * (3 * i + k)
      means[3 * i + k] = unit * (((places[j] | (places[j + 1] << 8) | (places[j + 2] << 16)) << 8) >> 8)
      cloud[12 * i + 4 + k] = Math.exp(sizes[3 * i + k] / 16 - 10)
    }
    cloud.set(means.subarray(3 * i, 3 * i + 3), 12 * i)
    cloud[12 * i + 3] = alphas[i] / 255
    cloud.set(quaternion(turns, 4 * i), 12 * i + 8)
  }
  return { count, degree, antialiased: (bytes[14] & 1) === 1, cloud, rows, means, colors, rest, depths: new Float64Array(count) }
}

function quaternion(turns, at) { // of its x, y, z, w the largest is not stored
  let bits = (turns[at] | (turns[at + 1] << 8) | (turns[at + 2] << 16) | (turns[at + 3] << 24)) >>> 0
  const found = [0, 0, 0, 0], largest = bits >>> 30
  let squares = 0
  for (let k = 3; k >= 0; k--) {
    if (k === largest) continue
    const value = ((bits & 511) / 511) * Math.SQRT1_2
    found[k] = bits & 512 ? -value : value
    squares += value * value
    bits >>>= 10
  }
  found[largest] = Math.sqrt(Math.max(0, 1 - squares))
  return found
}

function basis(x, y, z) { // the real spherical harmonics from degree 1 to 3, in the order of 3DGS
  const xx = x * x, yy = y * y, zz = z * z
  return [
    -0.48860251 * y, 0.48860251 * z, -0.48860251 * x,
    1.09254843 * x * y, -1.09254843 * y * z, 0.31539157 * (2 * zz - xx - yy), -1.09254843 * x * z,
    0.54627422 * (xx - yy), -0.59004359 * y * (3 * xx - yy), 2.89061144 * x * y * z,
    -0.4570458 * y * (4 * zz - xx - yy), 0.37317633 * z * (2 * zz - 3 * xx - 3 * yy),
    -0.4570458 * x * (4 * zz - xx - yy), 1.44530572 * z * (xx - yy), -0.59004359 * x * (xx - 3 * yy),
  ]
}

function shade(splats, eye, tints) { // colors as seen from the eye
  const { count, degree, means, colors, rest } = splats, terms = (degree + 1) ** 2 - 1
  for (let i = 0; i < count; i++) {
    const x = means[3 * i] - eye[0], y = means[3 * i + 1] - eye[1], z = means[3 * i + 2] - eye[2]
    const length = Math.sqrt(x * x + y * y + z * z) || 1, values = terms ? basis(x / length, y / length, z / length) : 0
    for (let k = 0; k < 3; k++) {
      let value = 0.5 + (0.28209479 * (colors[3 * i + k] - 127.5)) / (0.15 * 255)
      for (let t = 0; t < terms; t++) value += (values[t] * (rest[3 * (terms * i + t) + k] - 128)) / 128
      tints[4 * i + k] = 255 * Math.min(1, Math.max(0, value)) + 0.5
    }
  }
}

function sort(splats, m, order) { // by depth, farthest first: counting
  const { count, means, depths } = splats, starts = new Uint32Array(BUCKETS + 1)
  let near = Infinity, far = -Infinity
  for (let i = 0; i < count; i++) {
    const depth = m[2] * means[3 * i] + m[6] * means[3 * i + 1] + m[10] * means[3 * i + 2]
    depths[i] = depth
    if (depth < near) near = depth
    if (depth > far) far = depth
  }
  const factor = (BUCKETS - 1) / (far - near || 1)
  for (let i = 0; i < count; i++) {
    depths[i] = Math.floor((far - depths[i]) * factor) // of a bucket, from here on
    starts[depths[i] + 1]++
  }
  for (let i = 0; i < BUCKETS; i++) starts[i + 1] += starts[i]
  for (let i = 0; i < count; i++) order[starts[depths[i]]++] = i
}

const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
const unit = (a) => a.map((x) => x / Math.hypot(...a))
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]

function firstCamera() {
  const [x, y, z] = VIEW.eye, distance = Math.hypot(x, y, z)
  return { target: [0, 0, 0], distance, yaw: Math.atan2(x, z), pitch: Math.asin(y / distance) }
}

function pose(camera) { // the eye, and the axes right, down, forward; y is up
  const { yaw, pitch, distance, target } = camera
  const back = [Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)]
  const forward = back.map((x) => -x), right = unit(cross(forward, [0, 1, 0])), down = cross(forward, right)
  return { eye: target.map((x, k) => x + distance * back[k]), axes: [right, down, forward] }
}

function program() {
  const built = gl.createProgram()
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind)
    gl.shaderSource(shader, source)
    gl.compileShader(shader)
    gl.attachShader(built, shader)
  }
  gl.bindAttribLocation(built, 0, "corner")
  gl.bindAttribLocation(built, 1, "number")
  gl.linkProgram(built)
  if (!gl.getProgramParameter(built, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(built))
  return built
}

function texture(unit) {
  gl.activeTexture(gl.TEXTURE0 + unit)
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture())
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST)
}

function prepare(splats) { // -> a function that draws the splats from a camera
  const built = program(), at = (name) => gl.getUniformLocation(built, name)
  const order = new Uint32Array(splats.count), tints = new Uint8Array((4 * splats.rows * WIDTH) / 3)
  gl.useProgram(built)
  gl.enable(gl.BLEND)
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
  texture(0)
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, WIDTH, splats.rows, 0, gl.RGBA, gl.FLOAT, splats.cloud)
  texture(1)
  gl.uniform1i(at("cloud"), 0)
  gl.uniform1i(at("tints"), 1)
  gl.uniform1i(at("antialiased"), splats.antialiased)
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer())
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW)
  gl.enableVertexAttribArray(0)
  gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0)
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer())
  gl.enableVertexAttribArray(1)
  gl.vertexAttribIPointer(1, 1, gl.UNSIGNED_INT, 0, 0)
  gl.vertexAttribDivisor(1, 1)
  let shaded = false
  return (camera) => {
    const { eye, axes } = pose(camera), [width, height] = [canvas.width, canvas.height]
    const shift = axes.map((axis) => -dot(axis, eye))
    const matrix = [0, 1, 2].flatMap((k) => [...axes.map((axis) => axis[k]), 0]).concat(shift, 1)
    sort(splats, matrix, order)
    gl.bufferData(gl.ARRAY_BUFFER, order, gl.DYNAMIC_DRAW)
    if (splats.degree || !shaded) {
      shade(splats, eye, tints)
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, WIDTH / 3, splats.rows, 0, gl.RGBA, gl.UNSIGNED_BYTE, tints)
      shaded = true
    }
    const focal = (0.5 * Math.min(width, height)) / Math.tan((VIEW.fov * Math.PI) / 360)
    gl.viewport(0, 0, width, height)
    gl.uniformMatrix4fv(at("toCamera"), false, matrix)
    gl.uniform2f(at("focal"), focal, focal)
    gl.uniform2f(at("size"), width, height)
    gl.clearColor(0, 0, 0, 0)
    gl.clear(gl.COLOR_BUFFER_BIT)
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, splats.count)
  }
}

function listen(changed) { // to mouse, touch and keys; -> the camera that they move
  const camera = firstCamera(), pointers = new Map()
  const turn = (x, y) => {
    camera.yaw -= x
    camera.pitch = Math.max(-1.55, Math.min(1.55, camera.pitch + y))
  }
  const zoom = (factor) => (camera.distance = Math.max(1e-3, Math.min(1e6, camera.distance * factor)))
  const move = (x, y) => {
    const { axes } = pose(camera), step = (2 * camera.distance * Math.tan((VIEW.fov * Math.PI) / 360)) / Math.min(innerWidth, innerHeight)
    camera.target = camera.target.map((value, k) => value - step * (x * axes[0][k] + y * axes[1][k]))
  }
  const spread = () => {
    const [a, b] = pointers.values()
    return Math.hypot(a[0] - b[0], a[1] - b[1]) || 1
  }
  const react = (name, action) => canvas.addEventListener(name, (event) => {
    action(event)
    event.preventDefault()
    changed()
  }, { passive: false })
  react("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId)
    pointers.set(event.pointerId, [event.clientX, event.clientY])
    canvas.focus()
    note.hidden = true
  })
  for (const name of ["pointerup", "pointercancel"]) react(name, (event) => pointers.delete(event.pointerId))
  react("pointermove", (event) => {
    const last = pointers.get(event.pointerId)
    if (!last) return
    const before = pointers.size === 2 && spread(), x = event.clientX - last[0], y = event.clientY - last[1]
    pointers.set(event.pointerId, [event.clientX, event.clientY])
    if (before) {
      zoom(before / spread())
      move(x / 2, y / 2)
    } else if (event.shiftKey || event.buttons & 6) move(x, y)
    else turn(0.008 * x, 0.008 * y)
  })
  react("wheel", (event) => zoom(Math.exp(0.001 * event.deltaY * (event.deltaMode ? 30 : 1))))
  react("contextmenu", () => {})
  react("dblclick", () => Object.assign(camera, firstCamera()))
  const dark = () => document.body.classList.toggle("dark")
  const keys = {
    ArrowLeft: () => turn(0.1, 0), ArrowRight: () => turn(-0.1, 0), ArrowUp: () => turn(0, 0.1), ArrowDown: () => turn(0, -0.1),
    "+": () => zoom(0.9), "-": () => zoom(1.1), b: dark,
  }
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return
    keys[event.key]()
    event.preventDefault()
    changed()
  })
  return camera
}

async function main() {
  if (!gl || typeof DecompressionStream === "undefined") throw new Error("this browser has no WebGL 2, or is older than 2023")
  const splats = decode(await unpack(SPLATS)), draw = prepare(splats)
  let due = false
  const changed = () => {
    if (due) return
    due = true
    requestAnimationFrame(() => {
      due = false
      draw(camera)
    })
  }
  const camera = listen(changed)
  new ResizeObserver(() => {
    canvas.width = Math.round(innerWidth * devicePixelRatio)
    canvas.height = Math.round(innerHeight * devicePixelRatio)
    changed()
  }).observe(canvas)
  note.textContent = `${VIEW.title}: ${splats.count} Gaussians. Drag to turn, scroll to come closer, shift and drag to move; double click: the first view; b: on black.`
}

main().catch((error) => (note.textContent = String(error.message || error)))
