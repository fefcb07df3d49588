package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

const envPrefix = "LECTERN_"

// ownEnv are variables of the development tools that share the prefix.
var ownEnv = map[string]bool{"LECTERN_DENDRITE": true, "LECTERN_LIVEKIT": true}

// fromEnv applies LECTERN_A_B=value to the field with the YAML path a.b. Lists are separated by commas. An unknown name is an error, as in the file.
func fromEnv(c *Config, environ []string) error {
	fields := map[string]reflect.Value{}
	collect(fields, envPrefix, reflect.ValueOf(c).Elem())
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || ownEnv[name] {
			continue
		}
		f, ok := fields[name]
		if !ok {
			return fmt.Errorf("config: the environment variable %s sets nothing", name)
		}
		if err := assign(f, value); err != nil {
			return fmt.Errorf("config: %s: %w", name, err)
		}
	}
	return nil
}

func collect(fields map[string]reflect.Value, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		name := prefix + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		if f := v.Field(i); f.Kind() == reflect.Struct {
			collect(fields, name+"_", f)
		} else {
			fields[name] = f
		}
	}
}

func assign(f reflect.Value, s string) error {
	if d, ok := f.Addr().Interface().(*Duration); ok {
		return d.set(s)
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(s)
	case reflect.Int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("%q is not a number", s)
		}
		f.SetInt(int64(n))
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is not true or false", s)
		}
		f.SetBool(b)
	case reflect.Pointer:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is not true or false", s)
		}
		f.Set(reflect.ValueOf(&b))
	case reflect.Slice:
		f.Set(reflect.ValueOf(strings.Split(s, ",")))
	default:
		return fmt.Errorf("has no text form")
	}
	return nil
}
