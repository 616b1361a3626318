using System.Runtime.CompilerServices;
using LoadGenerator;

[assembly: DisableRuntimeMarshalling]

if (LoadOptions.Parse(args) is not { } options)
{
    Console.Error.WriteLine(LoadOptions.Usage);
    return 2;
}

Crowd? crowd = options.Mode switch
{
    "idle" or "mute" or "storm" => new IdleCrowd(options),
    "echo" => new EchoCrowd(options),
    "handshake" => new HandshakeCrowd(options),
    "tail" => new TailCrowd(options),
    "flood" => new FloodCrowd(options),
    _ => null,
};
if (crowd is null)
{
    Console.Error.WriteLine(LoadOptions.Usage);
    return 2;
}

Console.WriteLine(crowd.Run().ToJsonString());
return 0;
