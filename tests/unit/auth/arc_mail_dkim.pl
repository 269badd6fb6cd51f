# A third opinion on ARC, and somebody else's seals. Reads lines of JSON. {"message": base64, "records": {NAME: TXT}}:
# prints what Mail::DKIM says, none, pass or fail. With "key" (a file), "chain" and "time": prints the three fields
# that Mail::DKIM puts on top, in base64, d=forward.example, s=arc. Run by arc_seal_test.cpp. Exit code 77: Mail::DKIM is
# not installed.
use strict;
use warnings;

BEGIN {
  eval {
    require JSON::PP;
    require MIME::Base64;
    require Mail::DKIM::ARC::Signer;
    require Mail::DKIM::ARC::Verifier;
    require Mail::DKIM::PublicKey;
    1;
  } or exit 77;
}

my %records;
{
  no warnings 'redefine';
  *Mail::DKIM::PublicKey::fetch_async = sub {
    my ($class, %prms) = @_;
    my $on_success = $prms{Callbacks}->{Success} || sub { $_[0] };
    my $text = $records{lc "$prms{Selector}._domainkey.$prms{Domain}"};
    return sub {
      die "no key\n" unless defined $text;
      my $key = $class->parse($text);
      $key->{Selector} = $prms{Selector};
      $key->{Domain} = $prms{Domain};
      $key->check();
      return $on_success->($key);
    };
  };
}

while (my $line = <STDIN>) {
  my $case = JSON::PP::decode_json($line);
  my $message = MIME::Base64::decode_base64($case->{message});
  if ($case->{key}) {
    my $signer = Mail::DKIM::ARC::Signer->new(
      Algorithm => 'rsa-sha256', Chain => $case->{chain}, Domain => 'forward.example', SrvId => 'mx.forward.example',
      Selector => 'arc', KeyFile => $case->{key}, Timestamp => $case->{time});
    $signer->PRINT($message);
    $signer->CLOSE;
    print MIME::Base64::encode_base64(join("\r\n", $signer->as_strings) . "\r\n", ''), "\n";
  } else {
    %records = %{$case->{records}};
    my $verifier = Mail::DKIM::ARC::Verifier->new;
    $verifier->PRINT($message);
    $verifier->CLOSE;
    print $verifier->result eq 'invalid' ? 'fail' : $verifier->result, "\n";
  }
}
