// Benthos with its files, its mapping language, and a processor `wasm` on wazero. Its own wasm processor is part of
// a distribution under another licence, so this one is ours, to the same guest interface: the host writes a message
// where `allocate` says, and `process` takes it with v0_msg_as_bytes and gives its own with v0_msg_set_bytes.
package main

import (
	"context"
	"errors"
	"os"
	"sync"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// One guest: it has one message at a time.
type guest struct {
	runtime  wazero.Runtime
	allocate api.Function
	process  api.Function
	in       []byte
	out      []byte
	failed   error
}

func newGuest(ctx context.Context, binary []byte) (*guest, error) {
	g := &guest{runtime: wazero.NewRuntime(ctx)}
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	asBytes := func(ctx context.Context, mod api.Module, stack []uint64) {
		at, err := g.allocate.Call(ctx, uint64(len(g.in)))
		if err != nil || !mod.Memory().Write(uint32(at[0]), g.in) {
			g.failed = errors.Join(err, errors.New("no room for the message"))
			return
		}
		stack[0] = at[0]<<32 | uint64(len(g.in))
	}
	setBytes := func(_ context.Context, mod api.Module, stack []uint64) {
		bytes, ok := mod.Memory().Read(uint32(stack[0]), uint32(stack[1]))
		if !ok {
			g.failed = errors.New("the result lies outside the memory")
			return
		}
		g.out = append([]byte(nil), bytes...)
	}
	_, err := g.runtime.NewHostModuleBuilder("benthos_wasm").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(asBytes), nil, []api.ValueType{i64}).Export("v0_msg_as_bytes").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(setBytes), []api.ValueType{i32, i32}, nil).Export("v0_msg_set_bytes").
		Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	mod, err := g.runtime.Instantiate(ctx, binary)
	if err != nil {
		return nil, err
	}
	g.allocate, g.process = mod.ExportedFunction("allocate"), mod.ExportedFunction("process")
	return g, nil
}

type processor struct {
	binary []byte
	free   sync.Pool
}

func (p *processor) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	g, _ := p.free.Get().(*guest)
	if g == nil {
		var err error
		if g, err = newGuest(context.Background(), p.binary); err != nil {
			return nil, err
		}
	}
	var err error
	if g.in, err = msg.AsBytes(); err != nil {
		return nil, err
	}
	g.out, g.failed = nil, nil
	if _, err = g.process.Call(ctx); err != nil {
		return nil, err
	}
	if g.failed != nil {
		return nil, g.failed
	}
	if g.out != nil {
		msg.SetBytes(g.out)
	}
	p.free.Put(g)
	return service.MessageBatch{msg}, nil
}

func (p *processor) Close(context.Context) error { return nil }

func main() {
	spec := service.NewConfigSpec().Field(service.NewStringField("module_path"))
	err := service.RegisterProcessor("wasm", spec, func(conf *service.ParsedConfig, _ *service.Resources) (service.Processor, error) {
		path, err := conf.FieldString("module_path")
		if err != nil {
			return nil, err
		}
		binary, err := os.ReadFile(path)
		return &processor{binary: binary}, err
	})
	if err != nil {
		panic(err)
	}
	service.RunCLI(context.Background())
}
